-- Stores a value over its own marker. KEYS: entry. ARGV: token, value, life in ms or '0' for ever.
-- Returns {1, waiters flag}, or {0} when the marker is gone: expired, invalidated, or another's.
local current = redis.pcall('GET', KEYS[1])
if type(current) ~= 'string' or string.sub(current, 3, 18) ~= ARGV[1] then return {0} end
local waiters = 0
if string.sub(current, 1, 1) == 'M' and string.sub(current, 19, 19) == '1' then waiters = 1 end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return {1, waiters}
