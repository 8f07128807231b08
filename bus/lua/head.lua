-- The head of the journal. KEYS: head {lineage, n, run}, journal. ARGV: a lineage to use where one is made.
-- The lineage is new where the head is lost or was made in another reign: numbers given out there may have been lost. A reign is
-- a start of a server or a promotion: one that was demoted, forgot, and was promoted again keeps its run id.
local server, replication, run = redis.pcall('INFO', 'server'), redis.pcall('INFO', 'replication'), ''
if type(server) == 'string' and type(replication) == 'string' then -- miniredis tells none
  -- One that was told to follow another and has not synchronised yet would go on proving what it no longer hears.
  if string.find(replication, 'role:slave', 1, true) then return redis.error_reply('READONLY the journal is asked of a replica') end
  run = (string.match(server, 'run_id:(%x+)') or '') .. '/' .. (string.match(replication, 'master_replid:(%x+)') or '')
end
local head = redis.call('HMGET', KEYS[1], 'lineage', 'n', 'run')
local lineage, n = head[1], tonumber(head[2] or '0')
if not lineage or head[3] ~= run then
  lineage, n = ARGV[1], 0
  redis.call('HSET', KEYS[1], 'lineage', lineage, 'n', '0', 'run', run)
  redis.call('DEL', KEYS[2])
end
