-- Answers a miss: the value, the lease, or busy. KEYS: entry. ARGV: token, lease in ms, head of the value known to be dead or '', the
-- longest lease that any load has, in ms.
-- A marker names the life that it was given last. One that has twice as much left is of a clock that was set back, perhaps by hours, and
-- is overwritten. Twice: a clock is also put right by milliseconds.
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' then current = false end -- not a string: not ours, and overwritten
local kind = current and string.sub(current, 1, 1)
local head = current and string.sub(current, 1, 18)
local left = redis.call('PTTL', KEYS[1]) -- below 0 for ever: no marker of ours, and overwritten
if kind == 'M' and left >= 0 and string.sub(head, 3) ~= ARGV[1] then
  local life = math.min(tonumber(string.sub(current, 20)) or tonumber(ARGV[4]), tonumber(ARGV[4]))
  if left <= 2 * life then
    if string.sub(current, 19, 19) == '0' then redis.call('SETRANGE', KEYS[1], 18, '1') end -- somebody waits
    return {'busy', left}
  end
end
if kind == 'M' or not current or head == ARGV[3] then
  redis.call('SET', KEYS[1], 'M1' .. ARGV[1] .. '0' .. ARGV[2], 'PX', ARGV[2])
  return {'granted'}
end
return {'value', current}
