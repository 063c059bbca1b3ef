import { z } from 'zod';
import { isMap, type Json } from './canonical.ts';
import { unknownField } from './finding.ts';
import { KEY, KEYED_LISTS, REMOVE } from './merge.ts';
import type { SpecPatch } from './patch.ts';
import type { Path } from './problem.ts';
import { required, type Schema, schemaAt } from './schema-fields.ts';
import { jobSpecSchema, streamJobSchema } from './spec.ts';
import { composeDocument, splitDocuments } from './yaml-text.ts';
import { plainDocument } from './yaml-values.ts';

/** What one `FIELD=VALUE` says; not checked yet. */
export interface Assignment {
  readonly patch: SpecPatch;
  /** Where its value stands in `{spec: patch}`. */
  readonly path: Path;
}

/** An assignment that cannot be read: `message` says why, without the value. */
export class AssignmentError extends Error {}

type Step = { readonly field: string } | { readonly key: string };

const FORM = 'FIELD=VALUE, such as workers.replicas=3 or container.env[LOG_LEVEL].value=debug';

/** `container.env[LOG_LEVEL].value`, also with `spec.` before it. */
function stepsOf(text: string): Step[] {
  const part = /(?:^|\.)([^.[\]\s]+)|\[([^\]\s]+)\]/y;
  const steps: Step[] = [];
  while (part.lastIndex < text.length) {
    const [, field, key] = part.exec(text) ?? [];
    if (field !== undefined) steps.push({ field });
    else if (key !== undefined && steps.length > 0) steps.push({ key });
    else throw new AssignmentError(`expected ${FORM}`);
  }
  const [first] = steps;
  return first !== undefined && 'field' in first && first.field === 'spec' ? steps.slice(1) : steps;
}

/** A place in a spec, as far as the steps have led. */
interface Place {
  readonly schema: Schema;
  /** As the keyed lists are named. */
  readonly at: string;
  /** As it is written in an assignment. */
  readonly written: string;
  readonly path: Path;
}

const SPEC: Place = { schema: jobSpecSchema, at: '', written: '', path: ['spec'] };

function toField(place: Place, field: string): Place {
  const { at, written } = place;
  const inner = required(place.schema);
  if (KEYED_LISTS.has(at)) throw new AssignmentError(`expected a name in brackets: ${written}[${field}]`);
  if (inner instanceof z.ZodArray) throw new AssignmentError(`expected the whole list: ${written}=[…]`);
  if (!(inner instanceof z.ZodObject)) throw new AssignmentError(`expected ${written}=VALUE: it has no fields`);
  const path = [...place.path, field];
  const schema = schemaAt(path);
  if (schema === null) throw new AssignmentError(unknownField(path, streamJobSchema));
  if (at.endsWith('[]') && field === KEY) {
    throw new AssignmentError(
      'expected another field: the name is what finds the entry; take it away and set a new one',
    );
  }
  const join = (head: string) => (head === '' ? field : `${head}.${field}`);
  return { schema, at: join(at), written: join(written), path };
}

function toEntry(place: Place, key: string): Place {
  const { at, written } = place;
  if (!KEYED_LISTS.has(at)) {
    const isList = required(place.schema) instanceof z.ZodArray;
    throw new AssignmentError(
      isList ? `expected the whole list: ${written}=[…]` : `expected ${written} without brackets`,
    );
  }
  const path = [...place.path, 0];
  const schema = schemaAt(path);
  if (schema === null) throw new TypeError(`${at} has no entries`);
  return { schema, at: `${at}[]`, written: `${written}[${key}]`, path };
}

function yamlValue(text: string): Json {
  if (text.trim() === '') throw new AssignmentError('found nothing, expected a value; null takes the field away');
  if ([...splitDocuments(text)].length > 1) throw new AssignmentError('found several documents, expected one value');
  const { tree, findings } = composeDocument(text);
  const plain = tree === null || findings.length > 0 ? null : plainDocument(tree);
  const finding = findings[0] ?? plain?.findings[0];
  if (finding !== undefined) throw new AssignmentError(finding.message);
  return plain?.value ?? null;
}

/** Where text is wanted, every letter counts and nothing needs quotes, but `null` and what begins and ends with one. */
function readValue(text: string, schema: Schema): Json {
  if (!(required(schema) instanceof z.ZodString)) return yamlValue(text);
  if (text === 'null') return null;
  if (!/^(["']).*\1$/s.test(text)) return text;
  const { tree, findings } = composeDocument(text);
  const value = tree === null || findings.length > 0 ? null : plainDocument(tree).value;
  return typeof value === 'string' ? value : text;
}

/** An entry of a keyed list: null takes it away, and a map is what it says besides its name. */
function entryOf(key: string, value: Json, written: string): Json {
  if (value === null) return { [KEY]: key, [REMOVE]: true };
  if (isMap(value) && (value[KEY] ?? key) === key) return { [KEY]: key, ...value };
  throw new AssignmentError(
    `expected a map of fields without a ${KEY}, or null; ${written}.FIELD=VALUE sets one field`,
  );
}

/** @param left what stands before the `=`, and `right` what stands after it. @throws AssignmentError */
export function readAssignment(left: string, right: string): Assignment {
  const steps = stepsOf(left.trim());
  if (steps.length === 0) throw new AssignmentError(`expected ${FORM}`);
  const places = [SPEC];
  for (const step of steps) {
    const place = places.at(-1) ?? SPEC;
    places.push('field' in step ? toField(place, step.field) : toEntry(place, step.key));
  }
  const target = places.at(-1) ?? SPEC;
  let value = readValue(right, target.schema);
  for (const [index, step] of [...steps.entries()].reverse()) {
    const written = places[index + 1]?.written ?? '';
    value = 'field' in step ? { [step.field]: value } : [entryOf(step.key, value, written)];
  }
  return { patch: value as SpecPatch, path: target.path };
}
