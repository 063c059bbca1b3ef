import { z } from 'zod';
import { isQuantity, QUANTITY_EXPECTED, QUANTITY_FORMAT, QUANTITY_MAX_LENGTH } from './quantity.ts';

/** Single values that several parts of a job's definition (spec.ts) are made of. */

export const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
export const DNS_LABEL_LETTER_FIRST = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
// IANA_SVC_NAME: no two hyphens in a row.
export const PORT_NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

export const text = (max: number) =>
  z
    .string({ error: 'expected text (quote it, if it looks like a number or true/false)' })
    .max(max, `expected at most ${max} characters`)
    .refine((s) => !s.includes('\0'), 'expected text without NUL characters')
    .refine((s) => s.isWellFormed(), 'expected text without halves of surrogate pairs');

export const port = z
  .int({ error: 'expected a port number from 1 to 65535' })
  .min(1, 'expected a port number from 1 to 65535')
  .max(65535, 'expected a port number from 1 to 65535');

export const protocol = z
  .enum(['TCP', 'UDP', 'SCTP'], { error: 'expected TCP, UDP or SCTP' })
  .describe('Transport protocol: TCP, UDP or SCTP. Left out: TCP.');

export const quantity = z
  .union([z.string(), z.number()], { error: `expected ${QUANTITY_EXPECTED}` })
  .refine((q) => isQuantity(String(q)), `expected ${QUANTITY_EXPECTED}`)
  .meta({
    'x-kubernetes-int-or-string': true,
    minimum: 0,
    maxLength: QUANTITY_MAX_LENGTH,
    pattern: QUANTITY_FORMAT.source,
  });

export const seconds = (min: number) =>
  z
    .int({ error: 'expected a whole number of seconds' })
    .min(min, `expected at least ${min}`)
    .max(3600, 'expected at most 3600');

export const portReference = z
  .union([port, z.string().regex(PORT_NAME, 'expected the name of a port')], {
    error: 'expected a port number or the name of a port in spec.container.ports',
  })
  .meta({ 'x-kubernetes-int-or-string': true });
