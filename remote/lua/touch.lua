-- Notes an invalidation of names in one bucket of the table. KEYS: bucket {name → tick}. ARGV: tick, capacity, names.
-- Returns 1, or 0 where the bucket has no floor: then nothing is known there, and storing would pretend otherwise.
if not redis.call('ZSCORE', KEYS[1], 'floor') then
  redis.call('DEL', KEYS[1]) -- with the nonce of whoever is making the bucket: its floor would be too low
  return 0
end
for i = 3, #ARGV do
  redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[i])
end
local size, capacity = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[2])
if size > capacity then -- make room for an eighth at a time
  local gone = redis.call('ZPOPMIN', KEYS[1], size - capacity + math.floor(capacity / 8))
  redis.call('ZADD', KEYS[1], 'GT', gone[#gone], 'floor')
end
return 1
