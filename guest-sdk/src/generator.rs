//! Plugins that answer in a stream.

use std::marker::PhantomData;

use crate::{Failure, InitError, Inputs, Outputs, Parameters, Signature, backend};

/// A stage with any number of answers to one request, each emitted as soon as it is ready. The stages behind it in the
/// pipeline run once for each answer.
///
/// ```
/// use bulkhead_guest::{prelude::*, testing};
///
/// struct Countdown;
///
/// impl Generator for Countdown {
///     type Config = NoConfig;
///
///     fn init(_: NoConfig) -> Result<Self, InitError> {
///         Ok(Countdown)
///     }
///
///     fn signature(&self) -> Signature {
///         Signature::new().input("from", Datatype::Uint32, [1]).output("left", Datatype::Uint32, [1])
///     }
///
///     fn generate(&self, inputs: Inputs, _: &Parameters, emitter: &Emitter) -> Result<(), Failure> {
///         let from = inputs.get("from")?.view::<u32>()?[0];
///         for left in (0..from).rev() {
///             emitter.emit(Outputs::new().with("left", Tensor::new(&[1], &[left])?))?;
///         }
///         Ok(())
///     }
/// }
///
/// bulkhead_guest::generator!(Countdown);
///
/// let inputs = Inputs::from([("from", Tensor::new(&[1], &[3u32]).unwrap())]);
/// Countdown.generate(inputs, &Parameters::default(), &testing::emitter()).unwrap();
/// assert_eq!(testing::take_answers().len(), 3);
/// ```
pub trait Generator: Sized + 'static {
    /// The stage's configuration, as for a [`Plugin`](crate::Plugin).
    type Config: serde::de::DeserializeOwned;

    /// Runs once at activation, as for a [`Plugin`](crate::Plugin).
    fn init(config: Self::Config) -> Result<Self, InitError>;

    /// The inputs, and the outputs of each answer.
    fn signature(&self) -> Signature;

    /// Runs once per request, in an instance that no other request has touched. A failure ends the stream after what was
    /// emitted before; one before the first answer is the client's only answer.
    fn generate(&self, inputs: Inputs, parameters: &Parameters, emitter: &Emitter) -> Result<(), Failure>;
}

/// Takes the answers of a generator. It belongs to one call.
pub struct Emitter(PhantomData<*const ()>);

/// The client takes no further answers: it has disconnected, or has all that it wanted. `?` ends the generator, and the
/// host ignores the error.
#[derive(Debug, PartialEq)]
pub struct Gone;

impl Emitter {
    pub(crate) fn new() -> Emitter {
        Emitter(PhantomData)
    }

    /// Gives one answer, all outputs of the signature, and waits while the client reads more slowly than this writes. Waiting
    /// costs neither fuel nor time of the call.
    pub fn emit(&self, outputs: Outputs) -> Result<(), Gone> {
        if backend::emit(outputs) { Ok(()) } else { Err(Gone) }
    }
}

impl From<Gone> for Failure {
    fn from(_: Gone) -> Failure {
        Failure::Unavailable("the client has gone".into())
    }
}

/// Makes the type the generator of this component. Call it once per crate, with `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! generator {
    ($generator:ty) => {
        // In a native build nothing else uses the type, and the compiler would report it as dead code.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            let _ = <$generator as $crate::Generator>::init;
        };

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static GENERATOR: ::std::cell::OnceCell<$generator> = const { ::std::cell::OnceCell::new() };
            }

            struct Component;

            impl $crate::__component::generator::Guest for Component {
                fn init(config: String) -> Result<$crate::__component::Signature, String> {
                    GENERATOR.with(|generator| $crate::__component::init_generator(generator, &config))
                }

                fn generate(
                    inputs: Vec<$crate::__component::NamedTensor>,
                    parameters: Vec<$crate::__component::Parameter>,
                ) -> Result<(), $crate::__component::Failure> {
                    GENERATOR.with(|generator| $crate::__component::generate(generator, inputs, parameters))
                }
            }

    $crate::__component::generator::export!(Component with_types_in $crate::__component::generator);
        };
    };
}
