// Renders a Modelfile's TEMPLATE with Go's text/template, the way Ollama does.
package main

import (
	"encoding/json"
	"os"
	"text/template"
)

type message struct{ Role, Content string }

type input struct {
	Template string
	System   string
	Messages []message
}

func main() {
	var cases []input
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	results := make([]string, len(cases))
	for i, c := range cases {
		parsed := template.Must(template.New("").Option("missingkey=zero").Parse(c.Template))
		var out writer
		if err := parsed.Execute(&out, c); err != nil {
			panic(err)
		}
		results[i] = string(out)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(results); err != nil {
		panic(err)
	}
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}
