# what: Lua 5.4: coroutines, tables, strings, garbage collection
# needs: lua5.4
setup() {
  cat > job.lua << 'END'
io.stdout:setvbuf("line")
local function walker(n)
  return coroutine.wrap(function()
    local x = n
    while true do x = (x * 69069 + 1) % 4294967296; coroutine.yield(x) end
  end)
end
local walkers = {}
for i = 1, 500 do walkers[i] = walker(i) end
local sum, store = 0, {}
for turn = 1, 1400 do
  for i = 1, #walkers do
    for _ = 1, 40 do sum = (sum * 31 + walkers[i]()) % 1000000007 end
    store[(sum + i) % 20000] = ("%d:%s"):format(turn, ("x"):rep(sum % 100))
  end
  local length = 0
  for k = 0, 19999 do if store[k] then length = (length * 17 + #store[k] + k) % 1000000007 end end
  print(turn, sum, length)
end
END
}
work() { exec /usr/bin/lua5.4 job.lua; }
