-- Takes or reads a tick. KEYS: counter {last, run}. ARGV: highest tick seen by the caller, 'take' or 'read', jump.
-- TIME alone could repeat or step back; the counter alone could after a failover that lost writes.
local function text(n) return string.format('%.0f', n) end
local had = redis.call('HMGET', KEYS[1], 'last', 'run')
local seen, jump = tonumber(ARGV[1]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last, run = tonumber(had[1] or '0'), run_id()
local moved = not had[1] or had[2] ~= run
if moved then last = math.max(last, now, seen) + jump end
if ARGV[2] == 'take' then last = math.max(last, now, seen) + 1 end
last = math.max(last, seen) -- also when read: what was seen elsewhere was given out before this counter was made
if moved or ARGV[2] == 'take' or tonumber(had[1]) < seen then
  redis.call('HSET', KEYS[1], 'last', text(last), 'run', run)
end
return text(last)
