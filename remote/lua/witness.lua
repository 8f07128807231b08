-- Reads a checkpoint, or compares and sets it, where the server's identity is not to be had. In front of it stands
--   local token = '<random>'
-- so that the text is one of its own: a server knows the script by its digest only if it was run there before, by whoever made the token.
-- A server that was started again does not, nor does one that was promoted: from 7.0 on, scripts are in no dump, no log and no replica.
-- A server that was demoted and promoted again does, and its data may be those of a master in between, without the last writes. So beside the
-- script stands a witness in the data, a string that was appended to. Such a string is raw in memory; one that was loaded, as all is when a
-- server synchronises with a master that has not all that it has, is not (OBJECT ENCODING).
-- KEYS: checkpoint {position}, witness. ARGV: 'new', 'read', or 'move', from, to. Returns token and position, or what move does. An error that begins
-- with NOSCRIPT is the answer of a server that has the script and not the witness.
redis.call('PERSIST', KEYS[1]) -- changes nothing, and is refused by a replica
if ARGV[1] == 'new' then
  redis.call('DEL', KEYS[2])
  redis.call('SET', KEYS[2], string.sub(token, 1, 1))
  redis.call('APPEND', KEYS[2], string.sub(token, 2))
end
local encoding = redis.pcall('OBJECT', 'ENCODING', KEYS[2])
if encoding ~= 'raw' or redis.call('GET', KEYS[2]) ~= token then
  if ARGV[1] == 'new' then
    return redis.error_reply('NOPERM this user may run neither INFO nor OBJECT ENCODING, and Redis has no other way to tell that it forgot: grant +info')
  end
  return redis.error_reply('NOSCRIPT the data are not those beside which this script was first run')
end
redis.call('PEXPIRE', KEYS[2], 86400000)
if ARGV[1] == 'move' then return move(ARGV[2], ARGV[3]) end
local position = redis.pcall('HGET', KEYS[1], 'position')
if type(position) ~= 'string' then position = '' end
return {token, position}
