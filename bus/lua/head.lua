-- The head of the journal. KEYS: head {lineage, n, run, last}, journal. ARGV: a lineage to use where one is made.
-- The lineage is new where the head is lost, or spoilt by somebody else, or was made in another reign: numbers given out there may have
-- been lost.
local run, replica = reign()
if replica then return redis.error_reply('READONLY the journal is asked of a replica') end
if not run then redis.call('PERSIST', KEYS[1]) end -- changes nothing, and is refused by a replica
local head = redis.pcall('HMGET', KEYS[1], 'lineage', 'n', 'run', 'last')
if head.err then head = {} end -- it is something else
local lineage, n = head[1], tonumber(head[2] or '')
local sound = lineage and #lineage == 16 and not string.find(lineage, '%X') and n and n >= 0 and n < 2 ^ 52 and n % 1 == 0
if not sound or run and not same(head[3], run) then
  lineage, n, head[4] = ARGV[1], 0, '0-0'
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'lineage', lineage, 'n', '0', 'run', run or '', 'last', head[4])
end

-- Each message has a mark, made of its payload and the mark of the one before, so that who has heard n with its mark has heard all that this
-- server has up to n, and nothing else. Numbers alone don't tell: a server that came back with fewer gives them out again.
-- The mark of n is in the head ('<n>-<mark>'), and that of each message is the second part of its place in the journal. 0: not known.
local function mark_of(before, payload)
  local digest = redis.sha1hex(before .. ' ' .. #payload .. ' ' .. string.sub(payload, 1, 1024))
  return string.format('%.0f', tonumber(string.sub(digest, 1, 13), 16))
end

local function id_of(number) return string.format('%.0f', number) end

-- entries returns some messages of the journal from a number on, as {number, mark, payload}, as far as they are ours and none is missing.
local function entries(from, count)
  local found, some = {}, redis.pcall('XRANGE', KEYS[2], id_of(from) .. '-0', '+', 'COUNT', count)
  if some.err then return found end
  for _, entry in ipairs(some) do
    local number, mark = string.match(entry[1], '^(%d+)-(%d+)$')
    local fields = entry[2]
    if tonumber(number) ~= from + #found or #fields ~= 2 or fields[1] ~= 'p' then break end
    found[#found + 1] = {tonumber(number), mark, fields[2]}
  end
  return found
end

local marked, mark = string.match(head[4] or '', '^(%d+)-(%d+)$')
marked = tonumber(marked or '')
if marked and marked < n then -- pods of versions before this one have published since, and know no marks
  for _, entry in ipairs(entries(marked + 1, 64)) do
    marked, mark = entry[1], mark_of(mark, entry[3])
  end
end
if marked ~= n then mark = '0' end
