-- The head of the journal. KEYS: head {lineage, n, run}, journal. ARGV: a lineage to use where one is made.
-- The lineage is new where the head is lost or was made by another server: numbers given out there may have been lost.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or '' -- miniredis tells none
local head = redis.call('HMGET', KEYS[1], 'lineage', 'n', 'run')
local lineage, n = head[1], tonumber(head[2] or '0')
if not lineage or head[3] ~= run then
  lineage, n = ARGV[1], 0
  redis.call('HSET', KEYS[1], 'lineage', lineage, 'n', '0', 'run', run)
  redis.call('DEL', KEYS[2])
end
