-- Reads a checkpoint. KEYS: checkpoint {position}. Returns the position, or '', and the identity of the server; that is '?' where this user
-- may not know it.
local run, replica = reign()
if replica then return redis.error_reply('READONLY the checkpoint is asked of a replica') end
local position = redis.pcall('HGET', KEYS[1], 'position')
if type(position) ~= 'string' then position = '' end -- none, or something else lies there
return {position, run or '?'}
