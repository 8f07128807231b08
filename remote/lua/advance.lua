-- Compares and sets a checkpoint. KEYS: checkpoint {position}. ARGV: server, from, to. Returns 1, or 0 when this is another
-- server, on which invalidations since the checkpoint may be lost, or the checkpoint stands elsewhere. The server is compared
-- here, where the write happens: a client that lost the answer sends the script again, perhaps to another master.
local run, replica = reign()
if replica then return redis.error_reply('READONLY the checkpoint is asked of a replica') end
if run ~= ARGV[1] then return 0 end
return move(ARGV[2], ARGV[3])
