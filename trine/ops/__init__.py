"""Every tensor function, one family a file. Importing this package also gives tensors their methods."""

from trine.ops import methods
from trine.ops.activation import (
    celu,
    elu,
    gelu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    rrelu,
    selu,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from trine.ops.arithmetic import (
    add,
    arctan2,
    atan2,
    bitwise_and,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    copysign,
    div,
    divide,
    float_power,
    floor_divide,
    fmax,
    fmin,
    fmod,
    heaviside,
    hypot,
    logaddexp,
    logaddexp2,
    logical_and,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    mul,
    multiply,
    nextafter,
    pow,
    remainder,
    rsub,
    sub,
    subtract,
    true_divide,
    xlogy,
)
from trine.ops.arranging import *  # noqa: F403
from trine.ops.arranging import __all__ as _arranging
from trine.ops.attention import scaled_dot_product_attention
from trine.ops.comparison import (
    allclose,
    eq,
    equal,
    ge,
    greater,
    greater_equal,
    gt,
    isclose,
    le,
    less,
    less_equal,
    lt,
    ne,
    not_equal,
)
from trine.ops.complex_numbers import conj_physical, is_conj, is_neg, isreal, resolve_conj, resolve_neg
from trine.ops.contraction import (
    addmm,
    baddbmm,
    bilinear,
    bmm,
    dot,
    ger,
    linear,
    matmul,
    mm,
    mv,
    outer,
    tensordot,
    trace,
)
from trine.ops.conversion import (
    alias_copy,
    cdist,
    get_device,
    is_complex,
    is_floating_point,
    is_inference,
    is_nonzero,
    is_same_size,
    is_signed,
    is_tensor,
    numel,
    to,
    view_as_complex,
    view_as_real,
    zero_,
)
from trine.ops.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    unfold,
)
from trine.ops.creation import (
    arange,
    complex,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    logspace,
    one_hot,
    ones,
    ones_like,
    polar,
    range,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from trine.ops.decomposition import *  # noqa: F403
from trine.ops.decomposition import __all__ as _decomposition
from trine.ops.distance import cosine_similarity, pairwise_distance
from trine.ops.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout, feature_dropout
from trine.ops.dtype_info import can_cast, finfo, iinfo, promote_types, result_type
from trine.ops.einsum import *  # noqa: F403
from trine.ops.einsum import __all__ as _einsum
from trine.ops.elementwise import (
    abs,
    absolute,
    acos,
    acosh,
    angle,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    asin,
    asinh,
    atan,
    atanh,
    bitwise_not,
    ceil,
    clone,
    conj,
    cos,
    cosh,
    deg2rad,
    digamma,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    fix,
    floor,
    frac,
    imag,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    lgamma,
    log,
    log1p,
    log2,
    log10,
    logical_not,
    logit,
    nan_to_num,
    neg,
    negative,
    positive,
    rad2deg,
    real,
    reciprocal,
    round,
    rsqrt,
    sgn,
    sigmoid,
    sign,
    signbit,
    sin,
    sinc,
    sinh,
    sqrt,
    square,
    tan,
    tanh,
    trunc,
)
from trine.ops.embeddings import embedding, embedding_bag
from trine.ops.exponents import frexp, gcd, lcm, ldexp
from trine.ops.histograms import bincount, histc, histogram, histogramdd
from trine.ops.indexing import (
    argwhere,
    gather,
    index_put,
    index_select,
    masked_scatter,
    masked_select,
    nonzero,
    nonzero_static,
    take,
    take_along_dim,
    where,
)
from trine.ops.integration import cumulative_trapezoid, diff, gradient, trapezoid, trapz
from trine.ops.joining import (
    cartesian_prod,
    cat,
    column_stack,
    concat,
    concatenate,
    diag,
    diag_embed,
    dstack,
    flip,
    fliplr,
    flipud,
    hstack,
    meshgrid,
    repeat_interleave,
    roll,
    rot90,
    stack,
    tile,
    tril,
    triu,
    vstack,
)
from trine.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
from trine.ops.loss_margin import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from trine.ops.loss_sequence import ctc_loss
from trine.ops.matrix import *  # noqa: F403
from trine.ops.matrix import __all__ as _matrix
from trine.ops.movement import (
    adjoint,
    broadcast_tensors,
    broadcast_to,
    chunk,
    diagonal,
    flatten,
    moveaxis,
    movedim,
    narrow,
    permute,
    ravel,
    reshape,
    select,
    split,
    split_with_sizes,
    squeeze,
    swapaxes,
    swapdims,
    t,
    tensor_split,
    transpose,
    unbind,
    unflatten,
    unsqueeze,
)
from trine.ops.normalization import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    normalize,
    rms_norm,
)
from trine.ops.older_linalg import *  # noqa: F403
from trine.ops.older_linalg import __all__ as _older_linalg
from trine.ops.padding import (
    channel_shuffle,
    constant_pad_nd,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
)
from trine.ops.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool2d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from trine.ops.products import *  # noqa: F403
from trine.ops.products import __all__ as _products
from trine.ops.quantiles import median, mode, nanmedian, nanquantile, quantile
from trine.ops.random import (
    bernoulli,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from trine.ops.random_fills import binomial, poisson
from trine.ops.reduction import (
    all,
    amax,
    amin,
    aminmax,
    any,
    argmax,
    argmin,
    count_nonzero,
    dist,
    logsumexp,
    max,
    mean,
    min,
    nanmean,
    nansum,
    norm,
    prod,
    sum,
)
from trine.ops.resampling import interpolate, upsample
from trine.ops.scan import (
    cummax,
    cummin,
    cumprod,
    cumsum,
    logcumsumexp,
)
from trine.ops.scattering import *  # noqa: F403
from trine.ops.scattering import __all__ as _scattering
from trine.ops.searching import *  # noqa: F403
from trine.ops.searching import __all__ as _searching
from trine.ops.selection import addcdiv, addcmul, clamp, clamp_max, clamp_min, clip, lerp, masked_fill
from trine.ops.solving import *  # noqa: F403
from trine.ops.solving import __all__ as _solving
from trine.ops.sorting import (
    argsort,
    kthvalue,
    msort,
    sort,
    topk,
)
from trine.ops.sources import asarray, empty_permuted, empty_strided, fill, frombuffer, scalar_tensor, vander
from trine.ops.special import i0, igamma, igammac, mvlgamma, polygamma
from trine.ops.spectrogram import *  # noqa: F403
from trine.ops.spectrogram import __all__ as _spectrogram
from trine.ops.variance import std, std_mean, var, var_mean
from trine.ops.viewing import *  # noqa: F403
from trine.ops.viewing import __all__ as _viewing
from trine.ops.windows import *  # noqa: F403
from trine.ops.windows import __all__ as _windows

methods.install()

from trine.ops.in_place import *  # noqa: E402, F403 - they are the methods that were just installed
from trine.ops.in_place import __all__ as _in_place  # noqa: E402

# one name a line would hide the file
# fmt: off
__all__ = [
    *_in_place,
    "arctan2", "get_device", "is_inference", "is_same_size", "is_signed", "range",
    *_arranging, *_decomposition, *_matrix, *_older_linalg, *_einsum, *_products, *_scattering, *_searching,
    *_solving, *_spectrogram, *_viewing, *_windows,
    "msort",
    "nonzero_static",
    "adjoint",
    "alias_copy", "dist", "zero_",
    "abs", "absolute", "acos", "acosh", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "add", "addcdiv", "addcmul", "addmm", "all", "allclose", "alpha_dropout", "amax",
    "amin", "aminmax", "angle", "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "argmax", "argmin",
    "argsort", "argwhere", "asarray", "asin", "asinh", "atan", "atan2", "atanh", "avg_pool1d", "avg_pool2d", "avg_pool3d", "baddbmm",
    "batch_norm", "bernoulli", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits", "bincount", "binomial",
    "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bmm", "broadcast_tensors",
    "broadcast_to", "can_cast", "cartesian_prod", "cat", "cdist", "ceil", "celu", "channel_shuffle", "chunk", "clamp",
    "clamp_max", "clamp_min", "clip", "clone", "column_stack", "complex", "concat", "concatenate", "conj",
    "constant_pad_nd", "conj_physical", "conv1d",
    "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "copysign", "cos", "cosh", "cosine_embedding_loss",
    "cosine_similarity", "count_nonzero", "cross_entropy", "ctc_loss",
    "cummax", "cummin", "cumprod", "cumsum", "cumulative_trapezoid", "deg2rad",
    "diag", "diag_embed", "diagonal", "diff", "digamma", "div", "divide", "dot", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "dstack", "elu", "embedding", "embedding_bag",
    "empty", "empty_like", "empty_permuted", "empty_strided", "eq", "equal", "erf", "erfc",
    "erfinv", "exp", "exp2", "expm1", "eye", "feature_alpha_dropout", "feature_dropout", "fill", "finfo", "fix", "flatten",
    "flip", "fliplr", "flipud",
    "float_power", "floor", "floor_divide", "fmax", "fmin", "fmod", "fold", "frac", "frexp", "frombuffer", "full", "full_like", "gather",
    "gaussian_nll_loss", "gcd", "ge", "gelu", "ger", "glu", "gradient", "greater", "greater_equal", "group_norm", "gt", "gumbel_softmax",
    "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "heaviside", "hinge_embedding_loss", "histc", "histogram", "histogramdd",
    "hstack", "huber_loss", "hypot", "i0", "igamma", "igammac", "iinfo", "imag", "index_put",
    "index_select", "instance_norm", "interpolate", "is_complex", "is_conj", "is_floating_point", "is_neg", "is_nonzero", "is_tensor",
    "isclose", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "kl_div", "kthvalue", "l1_loss", "layer_norm",
    "lcm", "ldexp", "le", "leaky_relu", "lerp", "less", "less_equal", "lgamma", "linear", "linspace", "local_response_norm", "log",
    "log10", "log1p", "log2", "log_softmax", "logaddexp", "logaddexp2", "logcumsumexp", "logical_and", "logical_not", "logical_or",
    "logical_xor", "logit", "logsigmoid", "logspace", "logsumexp", "lp_pool2d", "lt", "margin_ranking_loss", "masked_fill",
    "masked_scatter", "masked_select", "matmul", "max", "max_pool1d", "max_pool2d", "max_pool3d", "maximum", "mean", "median", "meshgrid",
    "min", "minimum", "mish", "mm", "mode", "moveaxis", "movedim", "mse_loss", "mul", "multinomial", "multiply", "mv", "mvlgamma",
    "nan_to_num", "nanmean", "nanmedian", "nanquantile", "nansum", "narrow", "ne", "neg", "negative", "nextafter", "nll_loss", "nonzero",
    "norm", "normal", "normalize", "not_equal", "numel", "one_hot", "ones", "ones_like", "outer", "pad", "pairwise_distance", "permute",
    "pixel_shuffle", "pixel_unshuffle", "poisson", "poisson_nll_loss", "polar", "polygamma", "positive", "pow", "prelu", "prod",
    "promote_types", "quantile", "rad2deg", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "ravel",
    "real", "reciprocal", "relu", "relu6", "remainder", "repeat_interleave", "reshape", "resolve_conj", "resolve_neg", "result_type",
    "rms_norm", "roll", "rot90", "round", "rrelu", "rsqrt", "rsub", "scalar_tensor", "scaled_dot_product_attention",
    "select", "selu", "sgn", "sigmoid", "sign", "signbit", "silu", "sin", "sinc", "sinh",
    "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "sort", "split", "split_with_sizes",
    "sqrt", "square", "squeeze", "stack", "std", "std_mean", "sub", "subtract", "sum", "swapaxes", "swapdims", "t", "take",
    "take_along_dim", "tan", "tanh", "tanhshrink", "tensor_split", "tensordot", "threshold", "tile", "to", "topk", "trace", "transpose",
    "trapezoid", "trapz", "tril", "tril_indices", "triplet_margin_loss", "triu", "triu_indices", "true_divide", "trunc", "unbind",
    "unflatten", "unfold", "unsqueeze", "upsample", "vander", "var", "var_mean", "view_as_complex",
    "view_as_real", "vstack", "where", "xlogy", "zeros", "zeros_like",
]
# fmt: on
