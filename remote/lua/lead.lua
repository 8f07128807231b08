-- Takes or extends the lease of a feed. KEYS: lease. ARGV: holder, ms, and the longest life of a lease in ms: what lies there for longer, or
-- for ever, or is no string, is not ours. Returns 1, or 0 when another holds it.
local holder, left = redis.pcall('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
local held = type(holder) == 'string' and left >= 0 and left <= tonumber(ARGV[3])
if held and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
