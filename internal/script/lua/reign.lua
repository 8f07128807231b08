-- reign returns the identity of this server's reign: '/' and its replication id, which is new with each start, from whatever file, and with
-- each promotion, also of a server that is promoted again. '': the server has none to tell (miniredis). nil: it has one perhaps, and this
-- user may not ask (INFO is one of the dangerous commands). The second answer is true on a replica: one that was told to follow another and has
-- not synchronised yet would go on telling what it no longer hears.
local function reign()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then
    if string.find(type(info) == 'table' and info.err or '', 'is not supported', 1, true) then return '' end
    return nil
  end
  local id = string.match(info, 'master_replid:(%x+)')
  return id and '/' .. id, string.find(info, 'role:slave', 1, true) ~= nil
end

-- same reports whether what is stored is the identity of a reign. Versions before this one stored the run id before the slash: theirs counts
-- as the same, or pods of both versions would begin anew in turns.
local function same(stored, identity) return string.match(stored or '', '/%x*$') == identity or stored == identity end
