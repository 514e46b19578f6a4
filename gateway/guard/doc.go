// Package guard keeps requests whose address a stranger has chosen away from everything that is not public.
package guard
