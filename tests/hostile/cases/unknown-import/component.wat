(component
  (import "evil:corp/spy" (instance (export "tell" (func (param "everything" string))))))
