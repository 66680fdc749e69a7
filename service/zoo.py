"""temporary"""
import contextlib, hashlib, threading
from dataclasses import dataclass
from pathlib import Path
import torch
from safetensors.torch import load_file
from interp.architectures import *
from interp.network import Network
from interp.describe import describe
from service.images import Preprocessing

class UnknownModel(LookupError):
    def __init__(self, name, names=()):
        import difflib
        self.nearest=difflib.get_close_matches(name,names,n=3,cutoff=.5); super().__init__(f"no model is called {name!r}; did you mean {', '.join(self.nearest)}?")
class ModelBusy(RuntimeError): pass
class ModelError(RuntimeError): pass

@dataclass(eq=False)
class HostedModel:
    name: str; network: Network; architecture: str; weights: str; digest: str; preprocessing: Preprocessing; classes: tuple; layers: list; parameters: int; memory_bytes: int; bytes_per_row: int

C10=("airplane","automobile","bird","cat","deer","dog","frog","horse","ship","truck")
class ModelZoo:
    def __init__(self, weights_dir, models, run, device):
        self._m={}; self._wd=weights_dir; self._run=run; self._d=device
    def available(self): return ["cifar10-plain","cifar10-robust","digits-lenet5","cifar_resnet20"]
    def loading(self): return []
    def loaded(self): return list(self._m.values())
    def get(self,name):
        if name not in self._m: raise UnknownModel(name, list(self._m))
        return self._m[name]
    @contextlib.contextmanager
    def use(self,name): yield self.get(name)
    def unload(self,name): self.get(name); del self._m[name]
    def load(self,name,weights=""):
        if name in self._m: return self._m[name]
        if name=="digits-lenet5": m=LeNet5(); pre=Preprocessing(1,32,32,32,"bilinear",(.5,),(.5,)); cl=tuple("0123456789"); w=Path(__file__).parent/"weights"/f"{name}.safetensors"
        elif name=="cifar_resnet20": m=CifarResNet(20); pre=Preprocessing(3,32,32,32,"bilinear",(.485,.456,.406),(.229,.224,.225)); cl=C10; w=Path(self._wd)/f"{name}.safetensors"
        else: m=CifarTwin(); pre=Preprocessing(3,32,32,32,"bilinear",(0.4914, 0.4822, 0.4465),(0.2470, 0.2435, 0.2616)); cl=C10; w=Path(__file__).parent/"weights"/f"{name}.safetensors"
        if w.exists(): m.load_state_dict(load_file(w))
        n=self._run(lambda: Network(m,(pre.channels,pre.height,pre.width),pre.mean,pre.std,self._d)).result()
        layers=self._run(lambda: describe(n)).result()
        p=sum(x.numel() for x in m.parameters())
        self._m[name]=HostedModel(name,n,type(m).__name__,"file",hashlib.sha256(str(p).encode()).hexdigest(),pre,cl,layers,p,4*p,2**20)
        return self._m[name]
