-- floor_of returns the floor of a bucket of the table {name → tick}, as text. nil: it has none that means something, since there is no bucket,
-- or something else lies there, or it has a score that no tick has: one above latest is believed by no pod.
local function floor_of(bucket, latest)
  local floor = redis.pcall('ZSCORE', bucket, 'floor')
  if not floor or type(floor) == 'table' or not (tonumber(floor) and tonumber(floor) > 0) then return nil end
  local highest = tonumber(redis.call('ZREVRANGE', bucket, 0, 0, 'WITHSCORES')[2])
  if highest and highest <= latest then return floor end
end

-- Notes the names ARGV[first] to ARGV[last] at a tick in a bucket. Returns
--   0 where the bucket has no floor: nothing is known there, and storing would pretend otherwise;
--   1 where a name or the floor may have stood at this tick or above, or a name came twice;
--   2 where the tick is news of each name.
local function note(bucket, tick, capacity, first, last)
  local floor = floor_of(bucket, tonumber(tick) + 316224000000000) -- 10 years
  if not floor then
    redis.call('DEL', bucket) -- with the nonce of whoever is making the bucket: its floor would be too low
    return 0
  end
  local changed, at = 0, first - 1
  while at < last do -- many a call, and not more than Lua's stack takes
    local members = {}
    while at < last and #members < 400 do
      at = at + 1
      members[#members + 1] = tick
      members[#members + 1] = ARGV[at]
    end
    changed = changed + redis.call('ZADD', bucket, 'GT', 'CH', unpack(members))
  end
  local size = redis.call('ZCARD', bucket)
  if size > capacity then -- make room for 256 at a time
    local gone = size - capacity + math.floor(capacity / 32)
    local newest = redis.call('ZRANGE', bucket, gone - 1, gone - 1, 'WITHSCORES') -- of the gone; ZPOPMIN would write out them all
    redis.call('ZREMRANGEBYRANK', bucket, 0, gone - 1)
    redis.call('ZADD', bucket, 'GT', newest[2], 'floor')
  end
  if changed < last - first + 1 or tonumber(floor) > tonumber(tick) then return 1 end
  return 2
end
