-- Notes an invalidation of one name, and says whether it is the first since a snapshot. KEYS: bucket. ARGV: tick, capacity of a
-- bucket, tick of the snapshot, name. Returns 0 where the bucket has no floor, 1 where the name was invalidated since, or may have been, 2
-- where it was not. The client's retry gets 1.
local floor, before = redis.pcall('ZSCORE', KEYS[1], 'floor'), redis.pcall('ZSCORE', KEYS[1], ARGV[4])
if note(KEYS[1], ARGV[1], tonumber(ARGV[2]), 4, 4) == 0 then return 0 end
local known = math.max(tonumber(floor), tonumber(before or '0'))
if known > tonumber(ARGV[3]) then return 1 end
return 2
