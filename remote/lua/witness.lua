-- Reads a checkpoint, or compares and sets it, where the server's identity is not to be had. In front of it stands
--   local token = '<random>'
-- so that the text is one of its own: a server knows the script by its digest only if it was run there before, by whoever made the token.
-- A server that was started again does not, nor does one that was promoted: from 7.0 on, scripts are in no dump, no log and no replica.
-- KEYS: checkpoint {position}. ARGV: 'read', or 'move', from, to. Returns token and position, or what move does.
if not redis.REDIS_VERSION_NUM then
  return redis.error_reply('NOPERM this user may not run INFO, and before 7.0 Redis has no other way to tell that it forgot: grant +info')
end
redis.call('PERSIST', KEYS[1]) -- changes nothing, and is refused by a replica
if ARGV[1] == 'move' then return move(ARGV[2], ARGV[3]) end
local position = redis.pcall('HGET', KEYS[1], 'position')
if type(position) ~= 'string' then position = '' end
return {token, position}
