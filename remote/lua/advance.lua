-- Compares and sets a checkpoint. KEYS: checkpoint {position}. ARGV: from, to. Returns 1, or 0 when it stands elsewhere.
local position = redis.call('HGET', KEYS[1], 'position') or ''
if position == ARGV[2] then return 1 end -- our own retry
if position ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'position', ARGV[2])
return 1
