import type { CodegenConfig } from '@graphql-codegen/cli';

/** Every type of the portal comes from the schema that the api prints, and from the operations in `src`. */
const config: CodegenConfig = {
  schema: '../../schema.graphql',
  documents: ['src/**/*.ts', 'src/**/*.tsx', '!src/gql/**'],
  generates: {
    './src/gql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        enumsAsTypes: true,
        strictScalars: true,
        useTypeImports: true,
        skipTypename: false,
        nonOptionalTypename: false,
        scalars: {
          Address: 'string',
          ChainId: 'string',
          Cursor: 'string',
          DateTime: 'string',
          Decimal: 'string',
          Hash: 'string',
          JSON: 'unknown',
          TxHash: 'string',
          UUID: 'string',
        },
      },
    },
  },
};

export default config;
