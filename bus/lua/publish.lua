-- Publishes, moves the head and appends to the journal. ARGV, further: channel, payload, journal capacity.
-- What is refused is refused before anything has moved: first a write that changes nothing, then PUBLISH, which has a right of its own.
-- Published last, a user without that right would move head and journal by messages that come with an error, and that nobody hears
-- before the next look at the head; published first, a Redis that refuses to write would have told a number that the next message
-- gets again, and whoever heard the first takes the second for the same.
redis.call('HSET', KEYS[1], 'n', string.format('%.0f', n))
n = n + 1
local id = string.format('%.0f', n)
redis.call('PUBLISH', ARGV[2], 'J1' .. lineage .. id .. ' ' .. ARGV[3])
redis.call('HSET', KEYS[1], 'n', id)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], id .. '-0', 'p', ARGV[3])
