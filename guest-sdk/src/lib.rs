//! Write a Bulkhead plugin: implement [`Plugin`], call [`plugin!`] once.
//!
//! ```
//! use bulkhead_guest::prelude::*;
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     factor: f32,
//! }
//!
//! struct Scale(f32);
//!
//! impl Plugin for Scale {
//!     type Config = Config;
//!
//!     fn init(config: Config) -> Result<Self, InitError> {
//!         Ok(Scale(config.factor))
//!     }
//!
//!     fn signature(&self) -> Signature {
//!         Signature::new()
//!             .input("x", Datatype::Fp32, [-1])
//!             .output("y", Datatype::Fp32, [-1])
//!     }
//!
//!     fn process(&self, inputs: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
//!         let x = inputs.get("x")?.view::<f32>()?;
//!         let y: Vec<f32> = x.iter().map(|v| v * self.0).collect();
//!         Ok(Outputs::new().with("y", Tensor::new(x.shape(), &y)?))
//!     }
//! }
//!
//! bulkhead_guest::plugin!(Scale);
//!
//! // Plugins are ordinary Rust: they are tested natively, with plain `cargo test`.
//! let scale = Scale::init(Config { factor: 2.0 }).unwrap();
//! let inputs = Inputs::from([("x", Tensor::new(&[2], &[1.0f32, 2.5]).unwrap())]);
//! let outputs = scale.process(inputs, &Parameters::default()).unwrap();
//! assert_eq!(&*outputs.get("y").unwrap().view::<f32>().unwrap(), &[2.0, 5.0]);
//! ```
//!
//! A plugin that answers in a stream implements [`Generator`] instead, and calls [`generator!`].
//!
//! `init` runs once, when the bundle is activated. What it leaves in memory is snapshotted, and every request starts
//! from that snapshot in an instance of its own: nothing that one request writes can be seen by the next.

#[cfg(target_endian = "big")]
compile_error!("tensors are little-endian, and views of them are not converted");

mod backend;
mod datatype;
mod generator;
mod io;
mod tensor;

#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub mod assets;
pub mod graphs;
pub mod log;

pub use datatype::{Datatype, Element};
pub use generator::{Emitter, Generator, Gone};
pub use io::{Failure, Inputs, Outputs, Parameters, Signature, TensorSpec, Value};
pub use tensor::{Tensor, TensorBuilder, TensorError, View};

/// The reason why a plugin cannot start, shown to the operator or publisher who activates the bundle. `"text".into()` and
/// `?` on any error make one.
pub type InitError = Box<dyn std::error::Error + Send + Sync>;

/// Everything that a plugin's source file usually needs.
pub mod prelude {
    pub use crate::{
        Datatype, Element, Emitter, Failure, Generator, InitError, Inputs, NoConfig, Outputs, Parameters, Plugin,
        Signature, Tensor,
    };
}

/// One stage of a pipeline.
pub trait Plugin: Sized + 'static {
    /// The stage's `config` table in the bundle. Derive `Deserialize` with `deny_unknown_fields`, so that a misspelt
    /// key is refused at activation; use [`NoConfig`] where there is nothing to configure.
    type Config: serde::de::DeserializeOwned;

    /// Runs once, when the bundle is activated. Load vocabularies and build tables here: it costs no request anything.
    /// Tensors and graphs cannot be kept past the end of it.
    fn init(config: Self::Config) -> Result<Self, InitError>;

    /// The inputs and outputs; they may depend on the configuration. The host checks both on every call, so
    /// `process` never sees another datatype or another number of dimensions.
    fn signature(&self) -> Signature;

    /// Runs once per request, in an instance that no other request has touched.
    fn process(&self, inputs: Inputs, parameters: &Parameters) -> Result<Outputs, Failure>;
}

/// The configuration of a plugin that has none; any key is refused.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Grows the plugin's memory by this much in `init`, so that calls find it there: growing it in every call costs each some
/// ten microseconds. Nothing is written, and nothing is held.
pub fn reserve_memory(bytes: usize) {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes)));
}

/// Makes the type the plugin of this component. Call it once per crate, with `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! plugin {
    ($plugin:ty) => {
        // In a native build nothing else uses the type, and the compiler would report it as dead code.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            let _ = <$plugin as $crate::Plugin>::init;
        };

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: ::std::cell::OnceCell<$plugin> = const { ::std::cell::OnceCell::new() };
            }

            struct Component;

            impl $crate::__component::stage::Guest for Component {
                fn init(config: String) -> Result<$crate::__component::Signature, String> {
                    PLUGIN.with(|plugin| $crate::__component::init(plugin, &config))
                }

                fn process(
                    inputs: Vec<$crate::__component::NamedTensor>,
                    parameters: Vec<$crate::__component::Parameter>,
                ) -> Result<Vec<$crate::__component::NamedTensor>, $crate::__component::Failure> {
                    PLUGIN.with(|plugin| $crate::__component::process(plugin, inputs, parameters))
                }
            }

    $crate::__component::stage::export!(Component with_types_in $crate::__component::stage);
        };
    };
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use backend::component as __component;
