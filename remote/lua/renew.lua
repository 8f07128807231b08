-- Extends a marker by its holder. KEYS: entry. ARGV: token, lease in ms. Returns 1, or 0 when it is not the holder's any more.
local current = redis.call('GET', KEYS[1])
if not current or string.sub(current, 1, 1) ~= 'M' or string.sub(current, 3, 18) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
