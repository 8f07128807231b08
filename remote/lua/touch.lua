-- Notes an invalidation of names in buckets of the table. KEYS: buckets {name → tick}. ARGV: tick, capacity of a bucket, and for
-- each bucket how many names there are, and the names.
-- Returns 1, or 0 where a bucket has no floor: then nothing is known there, and storing would pretend otherwise.
local tick, capacity = ARGV[1], tonumber(ARGV[2])
local whole, at = 1, 3
for _, bucket in ipairs(KEYS) do
  local last = at + tonumber(ARGV[at])
  local size = redis.call('ZCARD', bucket)
  if size > 1 or redis.call('ZSCORE', bucket, 'floor') then -- names are added to a floor only; a nonce is alone
    while at < last do -- many a call, and not more than Lua's stack takes
      local members = {}
      while at < last and #members < 400 do
        at = at + 1
        members[#members + 1] = tick
        members[#members + 1] = ARGV[at]
      end
      size = size + redis.call('ZADD', bucket, 'GT', unpack(members))
    end
    if size > capacity then -- make room for 256 at a time
      local gone = size - capacity + math.floor(capacity / 32)
      local newest = redis.call('ZRANGE', bucket, gone - 1, gone - 1, 'WITHSCORES') -- of the gone; ZPOPMIN would write out them all
      redis.call('ZREMRANGEBYRANK', bucket, 0, gone - 1)
      redis.call('ZADD', bucket, 'GT', newest[2], 'floor')
    end
  else
    redis.call('DEL', bucket) -- with the nonce of whoever is making the bucket: its floor would be too low
    whole = 0
  end
  at = last + 1
end
return whole
