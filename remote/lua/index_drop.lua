-- Deletes entries that an invalidation outdates. KEYS: entries. ARGV: tick of the invalidation, the name that was invalidated as an
-- envelope has it (length, text). Returns how many.
-- It looks at what is there now: a marker, a value filled since, and one that no longer stands on the name stay. So does one whose name lies
-- beyond the first 64 KiB: somebody has to read it to find it dead.
local tick, name, deleted = tonumber(ARGV[1]), ARGV[2], 0

-- stands returns the tick at which the value that begins with bytes stands on the name; nil: the name is not in bytes. For the layout
-- see envelope.go: the name's tick is the value's and a signed difference.
local function stands(bytes)
  local _, at = string.find(bytes, name, 78, true)
  if not at then return end
  local diff, scale, byte = 0, 1, 0
  repeat
    at = at + 1
    byte = string.byte(bytes, at) or 256 -- 256: the bytes end here
    if byte > 255 or scale > 2 ^ 63 then return end
    diff, scale = diff + byte % 128 * scale, scale * 128
  until byte < 128
  local own = 0
  for i = 64, 71 do own = own * 256 + string.byte(bytes, i) end
  if diff % 2 == 1 then return own - (diff + 1) / 2 end
  return own + diff / 2
end

for _, entry in ipairs(KEYS) do
  local stood
  for _, size in ipairs({1024, 65536}) do
    local bytes = redis.pcall('GETRANGE', entry, 0, size - 1)
    if type(bytes) ~= 'string' or string.sub(bytes, 1, 2) ~= 'V\1' then break end
    stood = stands(bytes)
    if stood or #bytes < size then break end
  end
  if stood and stood < tick then deleted = deleted + redis.call('UNLINK', entry) end
end
return deleted
