import os,sys
from tests import examples
examples.use("new")
import numpy as np, hypothesis
from hypothesis import given, settings, HealthCheck, strategies as st
from tests.property.networks import cases
from tests.gradients import computed, exact
from tests.rounding import *
shares=[];skipped=[0]; ns=[]
@hypothesis.seed(int(sys.argv[1]))
@settings(max_examples=int(sys.argv[2]), suppress_health_check=list(HealthCheck))
@given(case=cases(largest=2), data=st.data())
def t(case,data):
    if not stays_normal(case.program): skipped[0]+=1; return
    un=data.draw(st.booleans())
    w=st.sampled_from([-2.0,-1.0,0.0,0.5,1.0]); k=case.program.classes
    seed=np.array([data.draw(st.lists(w,min_size=k,max_size=k)) for _ in case.images],np.float32)
    f=computed(case.program,case.images,seed,un)
    e=exact(case.program,case.images,seed,un)
    shares.append(worst_share(f,*e,roundings(case.program))); ns.append(roundings(case.program))
t()
s=np.array(shares); n=np.array(ns)
print("examples",len(s),"skipped",skipped[0],"nonzero",(s>0).sum(),"worst",s.max(),"quantiles of nonzero",np.quantile(s[s>0],[.5,.9,.99]),"n median/max",np.median(n),n.max())
for lo,hi in ((1,10),(10,50),(50,200),(200,10**6)):
    m=(n>=lo)&(n<hi)&(s>0)
    if m.any(): print(lo,hi,m.sum(),s[m].max(),np.median(s[m]))
