package tier_test
import ("testing";"context";"time";"fmt";"github.com/redis/go-redis/v9";"github.com/tandem-cache/tandem/tier";"github.com/tandem-cache/tandem/internal/servertest")
func TestSmoke(t *testing.T){
 r:=servertest.StartRedis(t)
 ctx:=t.Context()
 mk:=func()(*tier.Cache,*tier.Space[string],*int){
 rdb:=redis.NewClient(&redis.Options{Addr:r.Addr}); t.Cleanup(func(){rdb.Close()})
 c,err:=tier.Open(ctx,tier.Config{Name:"x",Redis:rdb}); if err!=nil{t.Fatal(err)}
 t.Cleanup(func(){c.Close(context.Background())})
 n:=0
 s,err:=tier.NewSpace(c,tier.SpaceConfig[string]{Name:"a:b",Strategy:tier.CDC("f"),Load:func(ctx context.Context,id string)(string,error){n++; tier.DependsOn(ctx,"p","1"); return fmt.Sprint(id,n),nil}})
 if err!=nil{t.Fatal(err)}
 return c,s,&n}
 c1,s1,_:=mk(); _,s2,_:=mk()
 g:=func(s *tier.Space[string]){v,err:=s.Get(ctx,"k"); t.Log(v,err)}
 g(s1);time.Sleep(20*time.Millisecond);g(s2);g(s1);g(s2)
 t.Log(c1.InvalidateTag(ctx,"p","1"))
 g(s1);g(s2);g(s2)
 t.Log(s1.Invalidate(ctx,"k")); g(s1); time.Sleep(20*time.Millisecond); g(s2)
 for i:=range 3 { b:=time.Now(); s1.Invalidate(ctx,"k"); t.Log(i,time.Since(b)) }
 t.Logf("%+v",c1.Health(ctx))
}
