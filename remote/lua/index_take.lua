-- Takes the entries out of an index that an invalidation outdates, the oldest first. KEYS: index {entry → tick}. ARGV: tick of the
-- invalidation, how many at most. An entry that is filled meanwhile stands at a tick above, and stays.
local entries = redis.pcall('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
if entries.err then -- something else lies there
  redis.call('DEL', KEYS[1])
  return {}
end
if #entries > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #entries - 1) end
return entries
