-- Appends to the journal, moves the head and publishes. ARGV, further: channel, payload, journal capacity.
n = n + 1
local id = string.format('%.0f', n)
redis.call('HSET', KEYS[1], 'n', id)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], id .. '-0', 'p', ARGV[3])
redis.call('PUBLISH', ARGV[2], 'J1' .. lineage .. id .. ' ' .. ARGV[3])
