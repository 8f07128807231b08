-- Takes or reads a tick. KEYS: counter {last, run, ahead}. ARGV: highest tick seen by the caller, 'take' or 'read', jump, and where
-- a counter that is lost has to begin at least, or '': then the answer is '', and the caller has to find out.
-- TIME alone could repeat or step back; the counter alone could after a failover that lost writes.
-- Each reign begins further ahead of the clock than the one before. Did it jump from the counter alone, two failovers soon after each
-- other could give out ticks twice: 1 the counter is replicated, 2 a second reign jumps and gives out ticks, 3 a replica is promoted
-- that has heard of neither, and jumps to the same place.
local function text(n) return string.format('%.0f', n) end
local had = redis.call('HMGET', KEYS[1], 'last', 'run', 'ahead')
local seen, jump = tonumber(ARGV[1]), tonumber(ARGV[3])
local least = tonumber(ARGV[4]) -- nil: not known
if not had[1] and not least then return '' end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last, run, ahead = tonumber(had[1] or '0'), run_id(), tonumber(had[3] or '0')
local moved = not had[1] or had[2] ~= run
if moved then
  ahead = had[1] and math.max(ahead, last - now) + jump or math.max(jump, seen - now, least - now)
  last = now + ahead
end
if ARGV[2] == 'take' then last = math.max(last, now, seen) + 1 end
last = math.max(last, seen) -- also when read: what was seen elsewhere was given out before this counter was made
if last >= 9007199254740992 then return redis.error_reply('the counter of ticks is used up: delete ' .. KEYS[1]) end -- 2^53
if moved or ARGV[2] == 'take' or tonumber(had[1]) < seen then
  redis.call('HSET', KEYS[1], 'last', text(last), 'run', run, 'ahead', text(ahead))
end
return text(last)
