"""What PyTorch has and Trine does not; written by `python -m trine.tools.missing`."""

from __future__ import annotations

NAMES: dict[str, str] = {
    "torch": """
        AVG AcceleratorError AggregationType AliasDb AnyType Argument ArgumentSpec AwaitType BenchmarkConfig BenchmarkExecutionStats
        Block BoolStorage BoolType BufferDict ByteStorage CallStack Capsule CharStorage ClassType Code CompilationUnit
        CompleteArgumentSpec ComplexType ConcreteModuleType ConcreteModuleTypeBuilder DeepCopyMemoTable DeserializationStorageContext
        DeviceObjType DictType DisableTorchFunction DisableTorchFunctionSubclass DispatchKey DispatchKeySet DoubleStorage EnumType
        ErrorReport Event ExcludeDispatchKeyGuard ExecutionPlan FatalError FileCheck FloatStorage FloatType FunctionSchema Future
        FutureType GradScaler Gradient Graph GraphExecutorState IODescriptor InferredType IntStorage IntType InterfaceType
        JITException ListType LiteScriptModule LockingLogger LongStorage ModuleDict Node NoneType NoopLogger NumberType OperatorInfo
        OptionalType OutOfMemoryError ParameterDict PyObjectType PyTorchFileReader PyTorchFileWriter RRefType SUM ScriptClass
        ScriptClassFunction ScriptDict ScriptDictIterator ScriptDictKeyIterator ScriptFunction ScriptList ScriptListIterator
        ScriptMethod ScriptModule ScriptModuleSerializer ScriptObject ScriptObjectProperty SerializationStorageContext ShortStorage
        StaticModule Stream StreamObjType StringType SymBool SymBoolType SymFloat SymInt SymIntType Tag TensorType ThroughputBenchmark
        TracingState TupleType Type TypedStorage UnionType UntypedStorage Use Value addmv_ affine_grid_generator alpha_dropout_
        as_strided_ batch_norm_backward_elemt batch_norm_backward_reduce batch_norm_elemt batch_norm_gather_stats
        batch_norm_gather_stats_with_counts batch_norm_stats batch_norm_update_stats bit bits16 bits1x8 bits2x4 bits4x2 bits8
        ccol_indices_copy chalf choose_qparams_optimized col_indices_copy complex32 cond conv_tbc convolution cpp crow_indices_copy
        cudnn_affine_grid_generator cudnn_batch_norm cudnn_convolution cudnn_convolution_add_relu cudnn_convolution_relu
        cudnn_convolution_transpose cudnn_grid_sampler cudnn_is_acceptable default_generator dequantize detach detach_ detach_copy
        dropout_ dsmm embedding_renorm_ empty_quantized export fake_quantize_per_channel_affine fake_quantize_per_tensor_affine
        fbgemm_linear_fp16_weight fbgemm_linear_fp16_weight_fp32_activation fbgemm_linear_int8_weight
        fbgemm_linear_int8_weight_fp32_activation fbgemm_linear_quantize_weight fbgemm_pack_gemm_matrix_fp16
        fbgemm_pack_quantized_matrix feature_alpha_dropout_ feature_dropout_ float4_e2m1fn_x2 float8_e4m3fn float8_e4m3fnuz
        float8_e5m2 float8_e5m2fnuz float8_e8m0fnu fork frobenius_norm from_file fused_moving_avg_obs_fake_quant
        get_autocast_ipu_dtype get_autocast_xla_dtype get_device_module grid_sampler grid_sampler_2d grid_sampler_3d gru gru_cell
        has_lapack has_mkl has_openmp has_spectral hash_tensor hsmm hspmm import_ir_module import_ir_module_from_buffer index_put_
        indices_copy init_num_threads int1 int2 int3 int4 int5 int6 int7 int_repr is_autocast_ipu_enabled is_autocast_xla_enabled
        is_distributed is_storage is_vulkan_available lobpcg lstm lstm_cell max_pool1d_with_indices merge_type_from_type_comment
        miopen_batch_norm miopen_convolution miopen_convolution_add_relu miopen_convolution_relu miopen_convolution_transpose
        miopen_ctc_loss miopen_depthwise_convolution miopen_rnn mkldnn_adaptive_avg_pool2d mkldnn_convolution
        mkldnn_linear_backward_weights mkldnn_max_pool2d mkldnn_max_pool3d mkldnn_rnn_layer native_batch_norm native_channel_shuffle
        native_dropout native_group_norm native_layer_norm native_norm norm_except_dim nuclear_norm parse_ir parse_schema
        parse_type_comment pdist q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point qint32 qint8
        qscheme quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic quantized_batch_norm quantized_gru_cell
        quantized_lstm_cell quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d quantized_rnn_relu_cell
        quantized_rnn_tanh_cell quint2x4 quint4x2 quint8 resize_as_sparse_ rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell
        row_indices_copy saddmm set_anomaly_enabled set_autocast_ipu_dtype set_autocast_ipu_enabled set_autocast_xla_dtype
        set_autocast_xla_enabled slice_copy slice_inverse smm sparse_bsc_tensor sparse_bsr_tensor sparse_compressed_tensor
        sparse_coo_tensor sparse_csc_tensor sparse_csr_tensor split_copy spmm sspaddmm sym_constrain_range
        sym_constrain_range_for_size sym_float sym_fresh_size sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum
        thread_safe_generator typename uint1 uint2 uint3 uint4 uint5 uint6 uint7 unify_type_list values_copy view_as_complex_copy
        view_as_real_copy wait
    """,
    "torch.Tensor": """
        ccol_indices chalf coalesce col_indices const_data_ptr crow_indices dense_dim dequantize dim_order eig grad_dtype hardshrink
        hash_tensor index indices int_repr ipu is_coalesced is_distributed lstsq map2_ module_load mtia name new prelu
        q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point qscheme record_stream reinforce resize
        resize_as resize_as_sparse_ row_indices slice_inverse smm solve sparse_dim sparse_mask sparse_resize_ sparse_resize_and_clear_
        sspaddmm storage_type symeig to_dense to_mkldnn to_padded_tensor to_sparse to_sparse_bsc to_sparse_bsr to_sparse_coo
        to_sparse_csc to_sparse_csr values volatile xpu
    """,
    "torch.nn": """
        Container LinearCrossEntropyOptions factory_kwargs
    """,
    "torch.nn.functional": """
        BroadcastingList1 BroadcastingList2 BroadcastingList3 DType GRID_SAMPLE_INTERPOLATION_MODES GRID_SAMPLE_PADDING_MODES
        ScalingType SwizzleType TYPE_CHECKING Tensor assert_int_or_pair boolean_dispatch conv_tbc grouped_mm handle_torch_function
        has_torch_function has_torch_function_unary has_torch_function_variadic native_channel_shuffle pdist reproducibility_notes
        scaled_grouped_mm scaled_mm sparse_support_notes tf32_notes
    """,
    "torch.optim": """
        swap_in_optimizer_params_and_state
    """,
    "torch.autograd": """
        NestedIOFunction enforce_grad_layout_policy set_multithreading_enabled
    """,
    "torch.autograd.functional": """
        hessian hvp jacobian jvp vhp vjp
    """,
    "torch.func": """
        debug_unwrap rearrange replace_all_batch_norm_modules_
    """,
    "torch.linalg": """
        common_notes
    """,
    "torch.utils.data": """
        DFIterDataPipe DataChunk IterDataPipe MapDataPipe argument_validation functional_datapipe guaranteed_datapipes_determinism
        non_deterministic runtime_validation runtime_validation_disabled
    """,
    "torch.utils.checkpoint": """
        CheckpointError CheckpointFunction CheckpointPolicy DefaultDeviceType GraphExecGroup SAC_IGNORED_OPS
        SelectiveCheckpointContext check_backward_validity create_selective_checkpoint_contexts detach_variable get_device_states
        set_checkpoint_debug_enabled set_device_states
    """,
    "torch.serialization": """
        LoadEndianness SourceChangeWarning StorageType check_module_version_greater_or_equal default_restore_location
        get_crc32_options get_default_load_endianness get_default_mmap_options get_unsafe_globals_in_checkpoint location_tag mkdtemp
        normalize_storage_type register_package set_crc32_options set_default_load_endianness set_default_mmap_options skip_data
        storage_to_tensor_type validate_cuda_device validate_hpu_device
    """,
    "torch.random": """
        fork_rng get_rng_state initial_seed manual_seed seed set_rng_state thread_safe_generator
    """,
    "torch.testing": """
        FileCheck
    """,
}
"""Module -> names."""
