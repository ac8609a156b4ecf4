package main

import (
	"github.com/spf13/cobra"

	"loyaltyhouse/config"
	"loyaltyhouse/schema"
)

// schemaCommand is for whoever has the binary alone.
func schemaCommand() *cobra.Command {
	var contract bool
	command := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema by which editors complete and check the configuration, or a contract",
		Long: `Prints the JSON Schema by which editors complete and check the configuration:

    connector config schema > connector.schema.json

An editor with the YAML language server takes it for a file that begins with

    # yaml-language-server: $schema=connector.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := config.JSONSchema
			if contract {
				text = schema.JSONSchema
			}
			_, err := cmd.OutOrStdout().Write(text)
			return err
		},
	}
	command.Flags().BoolVar(&contract, "contract", false, "that of contracts")
	return command
}
