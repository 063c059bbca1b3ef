/** The words that the schema of the CustomResourceDefinition is made of. */

/** A CEL rule as the API server takes it. `self` is the value that it stands at. */
export interface Rule {
  readonly rule: string;
  /** What was expected, and what to do; the API server adds the field and what it found. */
  readonly message: string;
  /** The field to blame, from the value that the rule stands at: `.requests.cpu`. */
  readonly fieldPath?: string;
}

/** The part of OpenAPI v3 that structural schemas are made of here. */
export interface Structural {
  readonly description?: string;
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly format?: 'int32' | 'int64' | 'date-time';
  readonly 'x-kubernetes-int-or-string'?: true;
  readonly properties?: Readonly<Record<string, Structural>>;
  readonly required?: readonly string[];
  readonly items?: Structural;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-validations'?: readonly Rule[];
}
