-- Takes or reads a tick. KEYS: counter {last, run, ahead}. ARGV: highest tick seen by the caller, 'take' or 'read', jump, and where
-- a counter that is lost has to begin at least, or '': then the answer is '', and the caller has to find out.
-- TIME alone could repeat or step back; the counter alone could after a failover that lost writes.
-- Each reign begins further ahead of the clock than the one before. Did it jump from the counter alone, two failovers soon after each
-- other could give out ticks twice: 1 the counter is replicated, 2 a second reign jumps and gives out ticks, 3 a replica is promoted
-- that has heard of neither, and jumps to the same place.
-- Where the reign is not to be known, the counter runs with the clock instead, as far ahead as it is: what a server that forgot gives out
-- is above what was given out before, since its clock is. Then reading it stores it as well, which a replica refuses.
local function text(n) return string.format('%.0f', n) end
local run, replica = reign()
if replica then return redis.error_reply('READONLY the counter of ticks is asked of a replica') end
local had = redis.pcall('HMGET', KEYS[1], 'last', 'run', 'ahead')
if had.err then -- something else lies there
  redis.call('DEL', KEYS[1])
  had = {}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local latest = now + 316224000000000 -- 10 years: no pod believes a tick that is further ahead, and 2^53 is near
local function tick(stored)
  local n = tonumber(stored or '')
  if n and n >= 0 and n < latest and n % 1 == 0 then return n end
end
local seen, jump = tonumber(ARGV[1]), tonumber(ARGV[3])
if seen > latest then return redis.error_reply('tick ' .. ARGV[1] .. ' is more than ten years ahead of the clock') end
local least = tonumber(ARGV[4]) -- nil: not known
local last, ahead = tick(had[1]), tick(had[3]) or 0
if not last and not least then return '' end
local moved = not last or run and not same(had[2], run)
if moved then
  ahead = last and math.max(ahead, last - now) + jump or math.max(jump, seen - now, least - now)
  last = now + ahead
end
if not run then last = math.max(last, now + ahead) end
if ARGV[2] == 'take' then last = math.max(last, now, seen) + 1 end
last = math.max(last, seen) -- also when read: what was seen elsewhere was given out before this counter was made
if moved then
  redis.call('HSET', KEYS[1], 'last', text(last), 'run', run or '', 'ahead', text(ahead))
elseif not run or ARGV[2] == 'take' or tonumber(had[1]) < last then
  redis.call('HSET', KEYS[1], 'last', text(last))
end
return text(last)
