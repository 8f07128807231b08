-- Appends to the journal, moves the head and publishes. KEYS: head {lineage, n, run}, journal.
-- ARGV: channel, payload, a lineage to use where one is made, journal capacity. Returns {lineage, n}.
-- The lineage is new where the head is lost or was made by another server: numbers given out there may have been lost.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
local head = redis.call('HMGET', KEYS[1], 'lineage', 'n', 'run')
local lineage, n = head[1], tonumber(head[2] or '0')
if not lineage or head[3] ~= run then
  lineage, n = ARGV[3], 0
  redis.call('DEL', KEYS[2])
end
n = n + 1
local id = string.format('%.0f', n)
redis.call('HSET', KEYS[1], 'lineage', lineage, 'n', id, 'run', run)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], id .. '-0', 'p', ARGV[2])
redis.call('PUBLISH', ARGV[1], 'J1' .. lineage .. id .. ' ' .. ARGV[2])
return {lineage, id}
