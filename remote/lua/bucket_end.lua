-- Second of two steps that make a bucket. KEYS: bucket. ARGV: nonce, the counter as read after the first step.
-- An invalidation in between has deleted the nonce: its tick may be above this floor, and it stored nothing.
if redis.pcall('ZREM', KEYS[1], 'nonce:' .. ARGV[1]) ~= 1 then return 0 end
redis.call('ZADD', KEYS[1], 'GT', ARGV[2], 'floor')
return 1
