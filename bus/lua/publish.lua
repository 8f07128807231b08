-- Publishes, moves the head and appends to the journal. ARGV, further: channel, payload, journal capacity.
-- What is refused is refused before anything has moved: first a write that changes nothing, then PUBLISH, which has a right of its own.
-- Published last, a user without that right would move head and journal by messages that come with an error, and that nobody hears
-- before the next look at the head; published first, a Redis that refuses to write would have told a number that the next message
-- gets again, and whoever heard the first takes the second for the same.
redis.call('HSET', KEYS[1], 'n', id_of(n))
n = n + 1
local id = id_of(n)
redis.call('PUBLISH', ARGV[2], 'J1' .. lineage .. id .. ' ' .. ARGV[3])
mark = mark_of(mark, ARGV[3])
redis.call('HSET', KEYS[1], 'n', id, 'last', id .. '-' .. mark)
local function append() return redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], id .. '-' .. mark, 'p', ARGV[3]) end
local appended = append()
if appended.err then -- it is something else, or has numbers above ours: not our journal
  redis.call('DEL', KEYS[2])
  appended = append()
end
if appended.err then return appended end
