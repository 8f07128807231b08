-- Answers a miss: the value, the lease, or busy. KEYS: entry. ARGV: token, lease in ms, head of the value known to be dead or ''.
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' then current = false end -- not a string: not ours, and overwritten
local kind = current and string.sub(current, 1, 1)
local head = current and string.sub(current, 1, 18)
local left = redis.call('PTTL', KEYS[1]) -- below 0 for ever: no marker of ours, and overwritten
if kind == 'M' and left >= 0 and string.sub(head, 3) ~= ARGV[1] then
  if string.sub(current, 19, 19) == '0' then redis.call('SETRANGE', KEYS[1], 18, '1') end -- somebody waits
  return {'busy', left}
end
if kind == 'M' or not current or head == ARGV[3] then
  redis.call('SET', KEYS[1], 'M1' .. ARGV[1] .. '0', 'PX', ARGV[2])
  return {'granted'}
end
return {'value', current}
