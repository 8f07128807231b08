-- Gives a lease back. KEYS: entry. ARGV: token. Returns 1 when somebody waits for it.
local current = redis.pcall('GET', KEYS[1])
if type(current) ~= 'string' or string.sub(current, 1, 1) ~= 'M' or string.sub(current, 3, 18) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return tonumber(string.sub(current, 19, 19))
