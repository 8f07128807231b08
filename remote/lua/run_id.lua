-- The identity of this server's reign; empty where the server has none to tell (miniredis). The run id is new with each
-- start, the replication id with each promotion: a server that was demoted, forgot, and was promoted again keeps its run id.
local function run_id()
  local server, replication = redis.pcall('INFO', 'server'), redis.pcall('INFO', 'replication')
  if type(server) ~= 'string' or type(replication) ~= 'string' then return '' end
  if string.find(replication, 'role:slave', 1, true) then error('a replica was asked') end -- also one that has not synchronised yet
  return (string.match(server, 'run_id:(%x+)') or '') .. '/' .. (string.match(replication, 'master_replid:(%x+)') or '')
end
