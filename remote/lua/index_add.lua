-- Notes an entry as a dependent of objects. KEYS: their indexes {entry → tick}. ARGV: entry, its life in ms or '0' for ever, capacity
-- of an index, its longest life in ms, and for each index the tick at which the entry stands on its object.
-- An index lives as long as the longest of its entries, or as its longest life after the last note: nothing else would end one whose
-- entries went otherwise than by its object. Beside it stands {entry → ms of its end}, of entries that expire: each note takes out up to
-- four that have. GT: notes of two fills may come in the wrong order.
local entry, life, capacity, keep = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if life > 0 and life < keep then keep = life end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i, index in ipairs(KEYS) do
  local ends = index .. ':ends' -- of the same slot: the name is in braces
  if type(redis.pcall('ZADD', index, 'GT', ARGV[4 + i], entry)) == 'table' then -- something else lies there
    redis.call('DEL', index)
    redis.call('ZADD', index, ARGV[4 + i], entry)
  end
  if life == 0 then
    redis.call('ZREM', ends, entry)
  else
    redis.call('ZADD', ends, 'GT', now + life, entry)
  end
  local gone = redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 4)
  if #gone > 0 then
    redis.call('ZREM', index, unpack(gone))
    redis.call('ZREM', ends, unpack(gone))
  end
  local over = redis.call('ZCARD', index) - capacity
  if over > 0 then redis.call('ZREMRANGEBYRANK', index, 0, over - 1) end
  local left = math.max(redis.call('PTTL', index), keep) -- -1: by a build that let an index live for ever
  redis.call('PEXPIRE', index, left)
  redis.call('PEXPIRE', ends, left)
end
return #KEYS
