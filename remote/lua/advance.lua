-- Compares and sets a checkpoint. KEYS: checkpoint {position}. ARGV: server, from, to. Returns 1, or 0 when this is another
-- server, on which invalidations since the checkpoint may be lost, or the checkpoint stands elsewhere. The server is compared
-- here, where the write happens: a client that lost the answer sends the script again, perhaps to another master.
if run_id() ~= ARGV[1] then return 0 end
local position = redis.call('HGET', KEYS[1], 'position') or ''
if position == ARGV[3] then return 1 end -- our own retry
if position ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'position', ARGV[3])
return 1
