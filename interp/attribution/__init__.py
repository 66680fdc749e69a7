"""Attributions: how much every pixel has to do with a class, or with a unit of any layer.

Each method has a module of its name, and a row in `registry`. Methods that ask for nothing but
scores and gradients are procedures (`saliency`, `input_x_gradient`, `integrated_gradients`,
`smooth_grad`, `occlusion`). Those that hook modules run on a private copy of the network
(`guided_backprop`, `deep_lift`, `lrp`, `grad_cam`, `guided_grad_cam`, see `model_copy`); their
modules import captum, which takes seconds to load. All methods are with respect to pixels in
[0, 1]: the network's normalization lies inside.
"""
