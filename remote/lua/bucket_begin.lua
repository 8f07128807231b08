-- First of two steps that make a bucket. KEYS: bucket. ARGV: nonce. Returns 1 when the bucket needs the second step.
if redis.call('ZSCORE', KEYS[1], 'floor') then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[1], 0, 'nonce:' .. ARGV[1])
return 1
