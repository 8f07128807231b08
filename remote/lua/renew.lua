-- Extends a marker by its holder. KEYS: entry. ARGV: token, lease in ms. Returns 1, or 0 when it is not the holder's any more.
local current = redis.pcall('GET', KEYS[1])
if type(current) ~= 'string' or string.sub(current, 1, 1) ~= 'M' or string.sub(current, 3, 18) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], string.sub(current, 1, 19) .. ARGV[2], 'PX', ARGV[2])
return 1
