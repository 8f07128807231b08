-- First of two steps that make a bucket. KEYS: bucket. ARGV: nonce, the latest tick that is believed. Returns 1 when the bucket needs
-- the second step.
if floor_of(KEYS[1], tonumber(ARGV[2])) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[1], 0, 'nonce:' .. ARGV[1])
return 1
