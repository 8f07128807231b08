-- Notes an entry as a dependent of objects. KEYS: their indexes {entry → tick}. ARGV: entry, its life in ms or '0' for ever, capacity
-- of an index, and for each index the tick at which the entry stands on its object.
-- An index lives as long as the longest of its entries. GT: notes of two fills may come in the wrong order.
local entry, life, capacity = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
for i, index in ipairs(KEYS) do
  local left = redis.call('PTTL', index) -- -1: for ever, -2: there is none yet
  redis.call('ZADD', index, 'GT', ARGV[3 + i], entry)
  if life == 0 then
    if left >= 0 then redis.call('PERSIST', index) end
  elseif left ~= -1 and left < life then
    redis.call('PEXPIRE', index, life)
  end
  local over = redis.call('ZCARD', index) - capacity
  if over > 0 then redis.call('ZREMRANGEBYRANK', index, 0, over - 1) end
end
return #KEYS
